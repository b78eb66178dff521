"""The merchant's HTTP API: `app` is the door, `calls` the one path of every call, `wire` alone has its words."""
