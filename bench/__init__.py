"""What the feed can do, measured over a real gunicorn: `make bench`."""
