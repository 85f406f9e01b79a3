"""The ground: files, silence, and the one place where a stranger's bytes meet native code."""
