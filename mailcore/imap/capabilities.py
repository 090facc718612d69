"""What the server can do, as CAPABILITY tells it: one line each, with where it is specified.

What depends on the connection (STARTTLS, AUTH, LOGINDISABLED) stands in ``commands/connection.py``.
"""

# Told to everybody.
ALWAYS = (
    b"IMAP4rev1",  # RFC 3501
    b"IMAP4rev2",  # RFC 9051; ENABLE IMAP4rev2 makes the difference
    # RFC 7888. IMAP4rev2 has LITERAL- in itself and lets an extension allow more (RFC 9051 section 4.3): this one does,
    # whatever is enabled. Both must not be announced at once (RFC 7888 section 5).
    b"LITERAL+",
    b"SASL-IR",  # RFC 4959
    b"ID",  # RFC 2971
    b"ENABLE",  # RFC 5161
)

# Told after login: about the connection,
CONNECTION = (
    b"IDLE",  # RFC 2177
    b"UTF8=ACCEPT",  # RFC 6855
    b"COMPRESS=DEFLATE",  # RFC 4978
    b"UNAUTHENTICATE",  # RFC 8437
    b"INPROGRESS",  # RFC 9585
)

# about keeping a client's copy the same as the mailbox,
SYNCHRONISING = (
    b"CONDSTORE",  # RFC 7162
    b"QRESYNC",  # RFC 7162
    b"NOTIFY",  # RFC 5465
    b"OBJECTID",  # RFC 8474
    b"SAVEDATE",  # RFC 8514
    b"UIDONLY",  # RFC 9586
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
    b"BINARY",  # RFC 3516
    b"CATENATE",  # RFC 4469
    b"PREVIEW",  # RFC 8970
    b"REPLACE",  # RFC 8508
)

# and about finding them.
SEARCHING = (
    b"ESEARCH",  # RFC 4731
    b"SEARCHRES",  # RFC 5182
    b"WITHIN",  # RFC 5032
    b"PARTIAL",  # RFC 9394
    b"SORT",  # RFC 5256
    b"SORT=DISPLAY",  # RFC 5957
    b"ESORT",  # RFC 5267
    b"THREAD=ORDEREDSUBJECT",  # RFC 5256
    b"THREAD=REFERENCES",
    b"I18NLEVEL=1",  # RFC 5255: i;unicode-casemap
    b"CONTEXT=SEARCH",  # RFC 5267
    b"CONTEXT=SORT",
    b"MULTISEARCH",  # RFC 7377
)

AFTER_LOGIN = (*ALWAYS, *CONNECTION, *SYNCHRONISING, *MAILBOXES, *MESSAGES, *SEARCHING)
