"""The dialect of CodeSpar: /api/scheduler and /api/scheduler/{name}, and the audit log."""
