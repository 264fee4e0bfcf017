window.soup_after = true;
