"""BCB (Bermuda Commercial Bank), Open Banking API v1, as its sheet describes it."""
