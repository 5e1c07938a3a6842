"""The agents dialect: the schedules of one agent, /api/agents/{id}/schedules."""
