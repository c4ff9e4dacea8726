"""Make a network better: one packed training file, partial labels, and the training loop.

Where to look, each importing from those above it only:

* `partial`: labels that name a set of classes, and the loss they stand for;
* `packed`: the one file that training reads;
* `teachers`: published networks that say where they are sure there is road, or none;
* `sources`: data sets, footage and the synthetic world as frames of a packed file;
* `ground_cover`, `weather`, `augment`: what is done to a frame before it is trained on;
* `compact`: the convolutional network for machines without a GPU;
* `loop`: the training loop; `validate`: its scores.
"""
