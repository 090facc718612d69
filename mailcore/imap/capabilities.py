"""What the server can do, as CAPABILITY tells it: one line each, with where it is specified.

What depends on the connection (STARTTLS, AUTH, LOGINDISABLED) stands in ``commands/connection.py``.
"""

# Told to everybody.
ALWAYS = (
    b"IMAP4rev1",  # RFC 3501
    b"LITERAL+",  # RFC 7888
    b"SASL-IR",  # RFC 4959
    b"ID",  # RFC 2971
    b"ENABLE",  # RFC 5161
)

# Told after login: about the connection,
CONNECTION = (
    b"IDLE",  # RFC 2177
)

# about keeping a client's copy the same as the mailbox,
SYNCHRONISING = (
    b"CONDSTORE",  # RFC 7162
    b"UNSELECT",  # RFC 3691
)

# about mailboxes and who may do what in them,
MAILBOXES = (
    b"NAMESPACE",  # RFC 2342
    b"ACL",  # RFC 4314
    b"RIGHTS=kxte",  # RFC 4314 section 2.2
    b"LIST-MYRIGHTS",  # RFC 8440
    b"METADATA",  # RFC 5464
    b"METADATA-SERVER",  # RFC 5464
    b"LIST-METADATA",  # RFC 9590
    b"QUOTA",  # RFC 9208
    b"QUOTA=RES-STORAGE",  # RFC 9208 section 5.1
    b"QUOTA=RES-MESSAGE",  # RFC 9208 section 5.2
    b"CREATE-SPECIAL-USE",  # RFC 6154 section 3
    b"CHILDREN",  # RFC 3348
    b"LIST-EXTENDED",  # RFC 5258
    b"LIST-STATUS",  # RFC 5819
    b"SPECIAL-USE",  # RFC 6154
    b"STATUS=SIZE",  # RFC 8438
)

# about messages,
MESSAGES = (
    b"UIDPLUS",  # RFC 4315
    b"MOVE",  # RFC 6851
    b"MULTIAPPEND",  # RFC 3502
)

# and about finding them.
SEARCHING = (
    b"ESEARCH",  # RFC 4731
)

AFTER_LOGIN = (*ALWAYS, *CONNECTION, *SYNCHRONISING, *MAILBOXES, *MESSAGES, *SEARCHING)
