"""Reading the feed: pages that wait for entries (long poll), and signed cursors."""
