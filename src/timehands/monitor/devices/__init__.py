"""What a guest finds at its ports and addresses. Each device is one file."""
