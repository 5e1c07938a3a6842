"""The dialect of Mission Control: its five tasks, and the settings that all dialects share."""
