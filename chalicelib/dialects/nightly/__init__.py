"""The nightly dialect: /api/v1/scheduler/jobs."""
