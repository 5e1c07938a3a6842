"""The native dialect: /api/scheduler."""
