window.soup_last = true;
