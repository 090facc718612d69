"""System flags of a message as bits of one small integer; keywords are plain text beside them (RFC 3501 section 2.3.2).

Pure values: protocol sessions and the store both use them.
"""

SEEN = 1
ANSWERED = 2
FLAGGED = 4
DELETED = 8
DRAFT = 16

ALL_FLAGS = SEEN | ANSWERED | FLAGGED | DELETED | DRAFT
