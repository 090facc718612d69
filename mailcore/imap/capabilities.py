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
    b"BINARY",  # RFC 3516
    b"CATENATE",  # RFC 4469
    b"PREVIEW",  # RFC 8970
    b"REPLACE",  # RFC 8508
)

# and about finding them.
SEARCHING = (
    b"ESEARCH",  # RFC 4731
)

AFTER_LOGIN = (*ALWAYS, *CONNECTION, *SYNCHRONISING, *MAILBOXES, *MESSAGES, *SEARCHING)
