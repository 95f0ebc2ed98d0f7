"""Real processes killed for real under load, judged by the operator's own history."""
