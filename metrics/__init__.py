"""The ruler: metrics over recorded episodes."""
