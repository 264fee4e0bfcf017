window.soup_first = true;
