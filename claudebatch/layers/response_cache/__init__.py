"""No answer is paid for twice."""
