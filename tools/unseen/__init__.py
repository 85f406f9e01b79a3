"""What makes the files of the open tasks, a module a lesson."""
