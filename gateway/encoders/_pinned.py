"""Files of installed packages, used only when version and bytes are the pinned ones."""

import hashlib
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from gateway.errors import IntegrityError, MissingExtra


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file inside an installed package; `path` is relative to where packages are installed."""

    package: str
    version: str
    path: str
    sha256: str
    extra: str

    def read(self) -> bytes:
        """Return the file's bytes after checking them. The package is not imported.

        Raises:
            MissingExtra: the package is not installed.
            IntegrityError: another version, no such file in it, or other bytes.
        """
        found = self._distribution()
        if found.version != self.version:
            raise self._broken("version", expected=self.version, found=found.version)
        path = Path(str(found.locate_file(self.path)))
        if not path.is_file():
            raise self._broken("file", expected=self.path, found="no such file")
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest != self.sha256:
            raise self._broken(f"sha256 of {path}", expected=self.sha256, found=digest)
        return content

    def _distribution(self) -> Distribution:
        try:
            return distribution(self.package)
        except PackageNotFoundError as exc:
            raise MissingExtra(f"package {self.package!r}", self.extra) from exc

    def _broken(self, what: str, *, expected: str, found: str) -> IntegrityError:
        return IntegrityError(
            f"package {self.package!r}: {what}: expected {expected}, found {found}; nothing was "
            f"loaded. Run: pip install --force-reinstall --no-deps '{self.package}=={self.version}'"
        )
