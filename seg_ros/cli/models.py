"""``seg_ros models``."""

from __future__ import annotations

import argparse

SUMMARY = "list the models and the engines built of them"
EXAMPLES = ("seg_ros models",)


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Take none."""


def run(_: argparse.Namespace) -> int:
    """Print the catalogue and the store."""
    from seg_ros.engines.build import engine_rows
    from seg_ros.engines.store import EngineStore
    from seg_ros.models.catalogue import catalogue
    from seg_ros.support.tables import text_table

    rows = [
        (f"{entry.name}{' (default)' if entry.is_default else ''}", entry.summary)
        for entry in catalogue()
    ]
    print(text_table(rows))
    store = EngineStore()
    print(f"\nengines in {store.folder}")
    for folder, manifest in store.manifests():
        print(f"\n{folder.name}")
        if isinstance(manifest, str):
            print(f"  not usable: {manifest}")
        else:
            print(text_table(engine_rows(manifest)))
    return 0
