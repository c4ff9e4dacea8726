"""What the attention heads look at: the numbers, the pictures and the command."""

import av
import cv2
import numpy as np
import pytest
from support import write_bag

from seg_ros import cli
from seg_ros.errors import SegRosError
from seg_ros.labels import load_label_set
from seg_ros.models.catalogue import Model, find_model
from seg_ros.models.network import Network
from seg_ros.segment.attention import AttentionNetwork, attention_picture
from seg_ros.segment.mosaic import attention_mosaic

SIZE = (72, 100)
"""Of the small network: its grids are odd, so that the reductions leave tokens over."""
HEADS = (1, 2, 4, 8)
GRIDS = ((18, 25), (9, 13), (5, 7), (3, 4))
KEYS = ((2, 3), (2, 3), (2, 3), (3, 4))


@pytest.fixture(scope="module")
def hugging_face(tmp_path_factory):
    """A small SegFormer with random weights: (what transformers says, the checkpoint's folder)."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    torch.manual_seed(1)
    config = transformers.SegformerConfig(
        depths=[1, 2, 1, 2],
        hidden_sizes=[8, 16, 32, 64],
        num_attention_heads=list(HEADS),
        decoder_hidden_size=8,
        num_labels=11,
    )
    network = transformers.SegformerForSemanticSegmentation(config).eval()
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if name.endswith(("q_proj.weight", "k_proj.weight")):
                weights *= 10  # as initialised, every head looks everywhere alike
    folder = tmp_path_factory.mktemp("small") / "small"
    network.save_pretrained(folder)
    # In double precision, or its own rounding would count as ours.
    reference = type(network).from_pretrained(folder, attn_implementation="eager").eval().double()

    def attentions(frame):
        rgb = frame[None, :, :, ::-1].astype(np.float64) / 255
        pixels = (rgb - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
        with torch.no_grad():
            planes = torch.from_numpy(pixels).permute(0, 3, 1, 2)
            return [a[0].numpy() for a in reference(planes, output_attentions=True).attentions]

    return attentions, folder


@pytest.fixture(scope="module", params=["checkpoint", "onnx"])
def small(request, hugging_face, tmp_path_factory):
    """The small SegFormer for torch and for OpenVINO: (attentions, opens a stage and block)."""
    attentions, folder = hugging_face
    model, size = find_model(str(folder), "camvid"), SIZE
    if request.param == "onnx":
        path = Network(model, tmp_path_factory.mktemp("onnx"), SIZE).onnx()
        model, size = Model("small", path, load_label_set("camvid")), None
    return attentions, lambda stage=4, block=None: AttentionNetwork.load(model, stage, block, size)


@pytest.fixture(scope="module")
def frame():
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.uint8)


def test_the_numbers_are_hugging_faces(small, frame):
    attentions, load = small
    expected = attentions(frame)
    assert len(expected) == 6
    blocks = load().blocks
    assert [(b.stage, b.block) for b in blocks] == [(1, 1), (2, 1), (2, 2), (3, 1), (4, 1), (4, 2)]
    for block, weights in zip(blocks, expected, strict=True):
        stage = block.stage - 1
        assert (block.heads, block.queries, block.keys) == (HEADS[stage], GRIDS[stage], KEYS[stage])
        assert weights.std() > 0.01, "attention that is even everywhere would prove nothing"
        network = load(block.stage, block.block)
        assert network.block == block
        mean = network.maps(frame).shares
        assert mean.shape == (block.heads, *block.keys)
        np.testing.assert_allclose(mean.reshape(block.heads, -1), weights.mean(axis=1), atol=1e-5)
        stride = 4 * 2**stage
        rows, columns = GRIDS[stage]
        for row, column in ((0, 0), (0, columns - 1), (rows - 1, 0), (rows // 2, columns // 2)):
            pixel = (min(column * stride + 1, SIZE[1] - 1), min(row * stride + 1, SIZE[0] - 1))
            one = network.maps(frame, pixel).shares.reshape(block.heads, -1)
            np.testing.assert_allclose(one, weights[:, row * columns + column], atol=1e-5)


def test_a_query_is_the_pixel_of_the_frame_whatever_its_size(small, frame):
    """A frame of twice the width and three times the height, x far from y."""
    attentions, load = small
    large = np.repeat(np.repeat(frame, 3, axis=0), 2, axis=1)
    fitted = cv2.resize(large, SIZE[::-1])
    weights = attentions(fitted)[1]  # stage 2, block 1: 9 x 13 queries of 8 pixels
    network = load(stage=2, block=1)
    for x, y, token in (
        (0, 0, 0),
        (2 * 100 - 1, 0, 12),
        (0, 3 * 72 - 1, 8 * 13),
        (170, 30, 13 + 10),
    ):
        shares = network.maps(large, (x, y)).shares.reshape(2, -1)
        np.testing.assert_allclose(shares, weights[:, token], atol=1e-5)
    for x, y in ((200, 0), (0, 216), (-1, 0)):
        with pytest.raises(
            SegRosError, match=rf"query {x},{y} is outside .* 0 to 199, y is 0 to 215"
        ):
            network.maps(large, (x, y))


def test_the_embedded_models_attention(frame):
    network = AttentionNetwork.load(find_model())
    assert [(b.stage, b.block, b.heads) for b in network.blocks] == [
        (s, b, h) for s, h in zip((1, 2, 3, 4), (1, 2, 5, 8), strict=True) for b in (1, 2)
    ]
    assert {b.keys for b in network.blocks} == {(9, 16)}
    maps = network.maps(frame)
    assert maps.extent == (9, 16)
    np.testing.assert_allclose(maps.shares.sum(axis=(1, 2)), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stage": 5}, "there is no stage 5: model small has stages 1 to 4"),
        ({"stage": 2, "block": 3}, "there is no block 3: stage 2 of small has blocks 1 to 2"),
        ({"block": 0}, "there is no block 0: stage 4 of small has blocks 1 to 2"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(small, options, said):
    with pytest.raises(SegRosError, match=said):
        small[1](**options)


def test_a_network_that_is_no_segformer_is_one_clear_line(tmp_path):
    """Its only softmax is over classes."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    h = onnx.helper
    image = h.make_tensor_value_info("image", onnx.TensorProto.UINT8, (1, 32, 64, 3))
    logits = h.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, (1, 3, 32, 64))
    nodes = [
        h.make_node("Cast", ["image"], ["floats"], to=onnx.TensorProto.FLOAT),
        h.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        h.make_node("Softmax", ["planes"], ["logits"], axis=1),
    ]
    graph = h.make_graph(nodes, "plain", [image], [logits])
    opset = [h.make_opsetid("", 17)]
    onnx.save(h.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "plain.onnx")
    with pytest.raises(SegRosError, match="model plain has no attention to show"):
        AttentionNetwork.load(
            Model("plain", tmp_path / "plain.onnx", load_label_set("bdd100k_drivable"))
        )


def mosaic(heads, width=160, height=90, extent=(2, 4), **options):
    """A mosaic of heads each of which sees one key of 2 x 4 only, over a flat frame."""
    shares = np.zeros((heads, 2, 4), np.float32)
    for head in range(heads):
        shares[head, head // 4 % 2, head % 4] = 0.5
    frame = np.full((height, width, 3), (60, 120, 180), np.uint8)
    names = [f"head {h + 1}" for h in range(heads)]
    return attention_mosaic(frame, shares, extent, names, "title", **options)


def tile(picture, rows, columns, row, column):
    """A tile without the caption above it."""
    height, width = picture.shape[0] // rows, picture.shape[1] // columns
    bar = min(36, 1080 // (12 * rows)) // 2 * 2
    return picture[row * height + bar : (row + 1) * height, column * width : (column + 1) * width]


def hottest(picture):
    """(row, column) of 2 x 4 keys where a tile is brightest."""
    brightness = cv2.resize(picture.max(axis=2), (4, 2), interpolation=cv2.INTER_AREA)
    return divmod(int(brightness.argmax()), 4)


@pytest.mark.parametrize(
    ("heads", "rows", "columns", "frame_at"),
    [(2, 2, 2, (0, 0)), (5, 2, 3, (0, 0)), (8, 3, 3, (1, 1))],
)
def test_the_mosaics_layout(heads, rows, columns, frame_at):
    picture = mosaic(heads)
    assert picture.shape[0] <= 1080
    assert picture.shape[1] <= 1920
    assert max(picture.shape[0] / 1080, picture.shape[1] / 1920) > 0.98
    assert picture.shape[0] % (2 * rows) == picture.shape[1] % (2 * columns) == 0
    places = [(r, c) for r in range(rows) for c in range(columns)]
    places.remove(frame_at)
    inner = tile(picture, rows, columns, *frame_at)[4:-4, 4:-4]
    assert (inner == (60, 120, 180)).all(), "the frame is not where it should be"
    for head, place in zip(range(heads), places, strict=False):
        assert hottest(tile(picture, rows, columns, *place)) == (head // 4, head % 4)
    if heads == 2:  # the last place is left over: the mean of both
        mean = tile(picture, 2, 2, 1, 1)
        bright = cv2.resize(mean.max(axis=2), (4, 2), interpolation=cv2.INTER_AREA)
        assert set(np.argsort(bright.ravel())[-2:]) == {0, 1}


def test_one_head_fills_the_mosaic_and_the_query_is_marked():
    one = mosaic(1)
    assert one.shape == (1080, 1856, 3)
    assert hottest(tile(one, 1, 1, 0, 0)) == (0, 0)
    marked = mosaic(1, query=(120, 30))
    changed = np.argwhere((marked != one).any(axis=2))
    y, x = changed.mean(axis=0)
    assert x / 1856 * 160 == pytest.approx(120.5, abs=0.5)
    assert (y - 36) / 1044 * 90 == pytest.approx(30.5, abs=0.5)
    assert np.ptp(changed[:, 0]) < 80


def test_what_no_key_covers_is_not_coloured():
    """Keys for 2 of 2.5 rows and 4 of 5 columns: the lower and right fifth is plain."""
    shares = np.full((1, 2, 4), 0.125, np.float32)
    frame = np.full((100, 200, 3), (60, 120, 180), np.uint8)
    picture = attention_mosaic(frame, shares, (2.5, 5.0), ["head 1"], "title")[36:, :-2]
    coloured = np.ptp(picture.astype(int), axis=2) > 20
    height, width = coloured.shape
    assert coloured[: int(height * 0.79), : int(width * 0.79)].all()
    assert not coloured[int(height * 0.81) :].any()
    assert not coloured[:, int(width * 0.81) :].any()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, scene):
    path = tmp_path_factory.mktemp("frames")
    for index in range(3):
        cv2.imwrite(str(path / f"{index}.png"), scene[index * 40].image)
    (path / "1.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    return path


def test_the_command_makes_a_video_and_a_sheet(tmp_path, folder, scene, capsys):
    out = tmp_path / "out"
    assert cli.main(["attention", str(folder), "-o", str(out), "--query", "320,300"]) == 0
    said = capsys.readouterr()
    assert "seg_ros attention: frame 1: " in said.err
    assert "frames in   3\nframes out  2\nrejected    1\n" in said.out
    assert {f.name for f in out.iterdir()} == {"attention.mp4", "attention.png"}
    network = AttentionNetwork.load(find_model())
    with av.open(str(out / "attention.mp4")) as video:
        shown = list(video.decode(video=0))
    assert [float(f.pts * f.time_base) for f in shown] == pytest.approx([0.0, 0.2], abs=1e-4)
    for picture, index, moment in zip(shown, (0, 80), ("0.00 s", "0.20 s"), strict=True):
        image = scene[index].image
        expected = attention_picture(image, network.maps(image, (320, 300)), None, moment)
        assert cv2.PSNR(picture.to_ndarray(format="bgr24"), expected) > 30
    assert cv2.imread(str(out / "attention.png")).shape[1] > 2 * 1000
    assert cli.main(["attention", str(folder), "-o", str(out)]) == 1
    assert "already holds attention.mp4, attention.png" in capsys.readouterr().err


def test_one_picture_becomes_one_picture(tmp_path, folder, scene):
    out = tmp_path / "out"
    command = ["attention", str(folder / "2.png"), "-o", str(out), "--stage", "3", "--block", "1"]
    assert cli.main([*command, "--head", "5"]) == 0
    assert {f.name for f in out.iterdir()} == {"attention.png"}
    maps = AttentionNetwork.load(find_model(), 3, 1).maps(scene[80].image)
    expected = attention_picture(scene[80].image, maps, 5, "0.00 s")
    assert np.array_equal(cv2.imread(str(out / "attention.png")), expected)


def test_a_bag_cut_off_gives_what_came_before(tmp_path, scene, capsys):
    bag = write_bag(tmp_path / "bag", [(10**9 + i * 10**8, scene[i].image) for i in range(4)])
    file = bag / "bag.mcap"
    file.write_bytes(file.read_bytes()[: -scene[0].image.nbytes])
    assert cli.main(["attention", str(bag), "-o", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith("seg_ros attention: bag")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--query", "320"], "query '320' must be x,y: two whole numbers"),
        (["--head", "9"], "there is no head 9: stage 4 of camvid-b0 has heads 1 to 8"),
        (["--stage", "3", "--head", "6"], "stage 3 of camvid-b0 has heads 1 to 5"),
        (["--query", "640,0"], "query 640,0 is outside the frame: x is 0 to 639, y is 0 to 359"),
    ],
)
def test_errors_are_one_line_and_leave_no_outputs(tmp_path, folder, capsys, arguments, said):
    out = tmp_path / "out"
    assert cli.main(["attention", str(folder), "-o", str(out), *arguments]) == 1
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("seg_ros attention: ")]
    assert len(lines) == 1
    assert said in lines[0]
    assert not [file for file in out.glob("*") if not file.name.startswith(".unfinished")]
