"""Parts of the page, one module each: ``read(root, titles)`` reads what a task has written."""
