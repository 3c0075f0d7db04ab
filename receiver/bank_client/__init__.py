"""The way into a bank's API: rate limit, access token and circuit breaker, which all processes share."""
