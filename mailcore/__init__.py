"""The mail core: protocols, message parsing, mailbox store, delivery."""
