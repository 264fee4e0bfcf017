document.title = document.title + " (open)";
