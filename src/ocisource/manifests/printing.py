"""Objects as a YAML stream that people read and Git compares."""

from collections.abc import Sequence

import yaml

from ocisource.manifests import load

_WIDTH = 1 << 20  # characters: a sentence is not broken, so a diff shows just what changed


def to_yaml(documents: Sequence[load.Document]) -> str:
    """The objects as one YAML stream."""
    texts = (
        yaml.dump(each, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
        for each in documents
    )
    return "".join(f"---\n{text}" for text in texts)


class _Dumper(yaml.CSafeDumper):
    """Writes text of several lines as a block, and nothing as a reference to something above."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _represent_text(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
