"""The HTTP connector: an API whose one key is kept here, and used by the gateway alone, lease by lease."""
