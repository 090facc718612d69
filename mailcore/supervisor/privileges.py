"""From root to an ordinary user, once the sockets are open. Nothing that speaks with the network runs as root."""

import grp
import os
import pwd
from pathlib import Path


class PrivilegeError(Exception):
    """The server cannot run as the user it was told to; the message says why and what to do."""


def drop(user: str, data_dir: Path) -> None:
    """Become ``user`` for good, and give it the data directory. Does nothing without a user.

    Raises ``PrivilegeError`` when that cannot be: not root, no such user, or a data directory that is somebody else's.
    """
    if not user:
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise PrivilegeError(f"A3MAILER_USER is {user!r}, and there is no such user on this machine") from None
    if os.geteuid() == entry.pw_uid:
        return
    if os.geteuid() != 0:
        raise PrivilegeError(f"A3MAILER_USER is {user!r}, but only root can become another user")
    _hand_over(data_dir, entry.pw_uid, entry.pw_gid)
    os.setgroups([group.gr_gid for group in grp.getgrall() if user in group.gr_mem] + [entry.pw_gid])
    os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
    os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    os.environ.update(HOME=entry.pw_dir, USER=user, LOGNAME=user)


def _hand_over(data_dir: Path, uid: int, gid: int) -> None:
    """Give what root made in the data directory (at first start, or by a command) to the user.

    Everything when the directory itself was root's; otherwise all but the bodies, of which there may be a million. A
    directory of a third user is a mistake that nobody should repair unasked.
    """
    owner = data_dir.stat().st_uid
    if owner not in {0, uid}:
        other = pwd.getpwuid(owner).pw_name
        raise PrivilegeError(f"the data directory {data_dir} belongs to {other}; change its owner or A3MAILER_USER")
    for folder, folders, files in os.walk(data_dir):
        if owner != 0 and "bodies" in folders:
            folders.remove("bodies")
        for path in [Path(folder), *(Path(folder, name) for name in files)]:
            if path.lstat().st_uid == 0:
                os.lchown(path, uid, gid)
