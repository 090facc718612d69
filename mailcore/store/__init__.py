"""The mailbox store: mailboxes, messages, group commit, changes."""
