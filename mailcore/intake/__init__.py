"""From an envelope to rows: where a message goes, and its acceptance."""
