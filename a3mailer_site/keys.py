"""Secrets that the server makes for itself at first use and keeps in the data directory, mode 0600."""

import os
import secrets
from functools import cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from a3mailer_site.env import current


def private_directory(path: Path) -> Path:
    """Make a directory that only its owner can enter; one that exists is left as it is."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def keep(path: Path, content: bytes) -> bytes:
    """Write ``content`` to ``path`` (0600) unless the file exists; return what is there. Safe against a race."""
    private_directory(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # link() fails where rename() would silently replace the key that another process has just made.
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink(missing_ok=True)
    return path.read_bytes()


def secret_key() -> str:
    """Return Django's SECRET_KEY: the setting, or the one kept in the data directory."""
    given = current().secret_key
    return given or keep(current().data_dir / "secret_key", secrets.token_urlsafe(64).encode()).decode().strip()


@cache
def _fernet(path: Path) -> Fernet:
    return Fernet(keep(path, Fernet.generate_key()).strip())


def _box() -> Fernet:
    return _fernet(current().data_dir / "encryption_key")


def encrypt(text: str) -> str:
    """Encrypt a secret that must be kept readable (a smart host's password) for storage in the database."""
    return _box().encrypt(text.encode()).decode() if text else ""


def decrypt(token: str) -> str:
    """Read what ``encrypt`` wrote; raises ``ValueError`` when the data directory's key is another one."""
    if not token:
        return ""
    try:
        return _box().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise ValueError("this secret was encrypted with another key than the one in the data directory") from error
