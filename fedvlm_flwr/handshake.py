"""What must be equal on a server and its sites, so that they compute the same."""

import hashlib
import importlib.metadata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fedvlm_flwr.config import Config
from fedvlm_flwr.config.compose import to_yaml
from fedvlm_flwr.messages import SiteReply
from fedvlm_flwr.models.resident import Resident
from fedvlm_flwr.paths import PACKAGE, conf_dir
from fedvlm_flwr.plugin_folder import ROOMS, files_in, plugin_folder

# Whose versions decide numbers; the last only where it is used.
PACKAGES = ("flwr", "torch", "transformers", "tokenizers", "peft", "numpy", "pillow", "datasets")
QUANTIZES = "bitsandbytes"


@dataclass(frozen=True)
class Fingerprints:
    """What one side computes with; see `SiteReply`."""

    versions: str
    source: str
    configuration: str
    base: str

    def difference(self, site: SiteReply) -> str:
        """What a site has otherwise, in words; empty: nothing."""
        here, there = (dict(_pairs(text)) for text in (self.versions, site.versions))
        for name, version in here.items():
            if there.get(name) != version:
                return (
                    f"it has {name} {there.get(name, 'not at all')} and the server {version}; "
                    "install the same version on both"
                )
        if site.source != self.source:
            return (
                f"its fedvlm_flwr is of the source {site.source[:12]} and the server's of "
                f"{self.source[:12]}; install the same version on both"
            )
        if site.configuration != self.configuration:
            return "it composes another configuration from the same run-config; update it"
        if site.base != self.base:
            return (
                f"its base model has the fingerprint {site.base[:12]} and the server's "
                f"{self.base[:12]}; prepare it again where it is wrong (`fedvlm site prepare`), or "
                "copy the folder of the one to the other"
            )
        if site.foreign_labels:
            return (
                f"{site.foreign_labels:,} of its records have a class that dataset.labels does not "
                "name; mend them there (its log names the classes), or add the class"
            )
        return ""


def fingerprints(config: Config, model: Resident) -> Fingerprints:
    """What this process computes a run with."""
    text = to_yaml(config)
    return Fingerprints(
        versions=", ".join(f"{name} {version}" for name, version in versions(config)),
        source=source(),
        configuration=hashlib.sha256(text.encode()).hexdigest(),
        base=model.base_fingerprint,
    )


def versions(config: Config) -> list[tuple[str, str]]:
    """Packages and their public versions: what is built for a CPU or a GPU is the same one."""
    names = (*PACKAGES, QUANTIZES) if config.model.params.quantize else PACKAGES
    return [(name, importlib.metadata.version(name).partition("+")[0]) for name in names]


def _pairs(text: str) -> list[tuple[str, str]]:
    words = [word.partition(" ") for word in text.split(", ") if word]
    return [(name, version) for name, _, version in words]


def source() -> str:
    """The sha256 over our Python files, conf/ and the plugins, by their names in a checkout."""
    return source_of(PACKAGE.parent, conf_dir(), plugin_folder())


@cache
def source_of(root: Path, conf: Path, plugins: Path | None) -> str:
    """The same of another place, read once in a process.

    A plugin in the app bundle counts as one beside it.

    Args:
        root: where the packages lie.
    """
    digest = hashlib.sha256()
    files = dict(files_in(plugins)) if plugins else {}
    files |= {f"conf/{path.relative_to(conf)}": path for path in conf.rglob("*.yaml")}
    for room in ROOMS:
        folder = root / room
        files |= {str(Path(room) / p.relative_to(folder)): p for p in folder.rglob("*.py")}
    for name, path in sorted(files.items()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()
