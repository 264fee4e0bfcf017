"""Pages of random, often broken markup, for comparing the page scan with a browser."""
import os
import random

TAGS = ["div", "p", "b", "i", "ul", "li", "table", "tr", "td", "span", "a", "h1", "section", "button",
        "pre", "code", "em", "strong", "dl", "dd", "form", "details", "object", "center", "font"]
ATTRIBUTES = ["", "", " id=i1", " class=c1", " class='c1 c2'", " hidden", " style='font-family:F2'",
              " style='display:none'", " @click='a>b'", " data-x=\"</div>\"", " /", " a=b/",
              " style='font:italic 1em F1 !important'"]
TAILS = ["?a=1&b=2", "?a&amp;b=1", "?x=&lt;", "#f", "?q='", "&copy;", "?a&copy", "?a&reg=1", " ",
         "?\\", "\\..\\z", "&#x41;", "&#0;", "&sol;q", "%zz", "|", "^", "{}", "\t"]
FOLDERS = ["", "a/", "./", "b//", "x/../", "%2e/", "/NAME/", "../NAME/"]
SELECTORS = ["body", "html", "*", "p", "div", "b", "i", "h1", "a", "span", "em", "strong", "code",
             "button", ".c1", ".c2", "#i1", ":root", "p.c1", "div .c2", "body > p", "p::before",
             "p:first-child", "a:hover", "td", "li", "p + p", "p:not(.c1)", ".c1.c2", "section *"]
DECLARATIONS = ["font-family:F1", "font-family:F2,serif", "font:bold 1em F3", "font-family:'F4'",
                "font:italic 12px/1.5 F1, x", "font:inherit", "font-family:serif,F2",
                "font-weight:300", "font-weight:bold/**/", "font-style:italic", "display:none",
                "font-family:F3!important", "color:red", "font-family:var(--f)", "all:unset",
                "font-size:0", "font-weight:bolder", "font-family:F1", "font-family:F2"]
AROUND = ["%s", "%s", "%s", "@media print{%s}", "@media screen{%s}", "@media (min-width:1px){%s}",
          "@supports (display:grid){%s}", "@layer a{%s}", "/*%s*/", "div{%s}", "@unknown x{%s}"]
IMPORTS = ["@import '%s';", "@import url(%s);", "@import url('%s') screen;", "@import \"%s\" print;",
           "@import '%s' layer(x);", "/**/@import '%s' all;"]
COMMENTS = ["<!--", "<!-->", "<!--->", "<!-- --!>", "<!-- x -->", "<!-- -- >", "<![CDATA[ x ]]>",
            "<? x ?>", "<!x>", "</>", "</ x>"]


class Writer:
    """One page with its stylesheets; every reference has a name of its own."""

    def __init__(self, seed, name):
        self.random = random.Random(seed)
        self.name = name
        self.count = 0

    def any(self, choices):
        return self.random.choice(choices)

    def times(self, least, most, make):
        return "".join(make() for _ in range(self.random.randrange(least, most)))

    def url(self, kind):
        self.count += 1
        folder = self.any(FOLDERS).replace("NAME", self.name)
        tail = self.any(TAILS) if self.random.random() < 0.1 else ""
        quote = self.any(['"', "'"])
        return quote + ("%s%d.%s%s" % (folder, self.count, kind, tail)).replace(quote, "") + quote

    def font(self):
        self.count += 1
        source = self.any(["url(%s)", "url(%s) format('woff2')", "local(Zzz),url(%s)",
                           "url(x.eot) format('embedded-opentype'),url(%s) format(woff2)"])
        return "@font-face{font-family:F%d;src:%s%s%s%s}" % (
            self.random.randrange(1, 5), source % ("/%s/%d.woff2" % (self.name, self.count)),
            self.any(["", ";font-weight:bold", ";font-weight:100 900", ";font-weight:300"]),
            self.any(["", ";font-style:italic", ";font-style:oblique"]),
            self.any(["", "", ";unicode-range:U+0-7f", ";unicode-range:U+4??"]))

    def rule(self):
        if self.random.random() < 0.5:
            return self.font()
        return "%s{%s;%s}" % (self.any(SELECTORS), self.any(DECLARATIONS), self.any(DECLARATIONS))

    def css(self, imports):
        return ("".join(self.any(IMPORTS) % path for path in imports)
                + self.times(3, 12, lambda: self.any(AROUND) % self.rule()))

    def picture(self):
        def source():
            return "<source srcset=%s%s>" % (self.url("png"), self.any(
                ["", " media=print", " media='(min-width:1px)'", " type=x/y", " media=screen"]))
        return "<picture>%s%s<img src=%s></picture>" % (
            self.times(0, 3, source), self.any(["", "<div>", "text"]), self.url("png"))

    def hidden(self):
        tag = self.any(["template", "textarea", "xmp", "iframe", "noembed", "noscript", "svg",
                        "math", "select", "title", "style"])
        return "<%s><img src=%s></%s>" % (tag, self.url("png"), tag)

    def body(self):
        return self.any([
            lambda: "<%s%s>" % (self.any(TAGS), self.any(ATTRIBUTES)),
            lambda: "</%s>" % self.any(TAGS),
            lambda: self.any(["text ", "a & b", "1 < 2", "&nbsp;", "x<y ", "\n"]),
            lambda: "<img src=%s%s>" % (self.url("png"), self.any(
                ["", " loading=lazy style='margin-top:30000px'", " crossorigin", " alt='>'",
                 " srcset=%s" % self.url("png"), " src=%s" % self.url("png")])),
            self.picture, self.hidden,
            lambda: "<script%s src=%s></script>" % (self.any(["", " async"]), self.url("js")),
            lambda: "<%s%s>Text <%s>inner</%s></p>" % ("p", self.any(ATTRIBUTES), "b", "b"),
            lambda: "<p class=c1>words</p>"])()

    def head(self):
        return self.any([
            lambda: "<link rel=stylesheet href=%s%s>" % (self.url("css"), self.any(
                ["", " media=print", " media='(min-width:1px)'", " disabled", " title=a"])),
            lambda: "<script%s src=%s></script>" % (self.any(
                ["", " async", " defer", " type=module", " nomodule", " type=x"]), self.url("js")),
            lambda: "<link rel=preload as=%s href=%s%s>" % (
                self.any(["style", "script", "font", "image", "fetch", "x"]), self.url("bin"),
                self.any(["", " crossorigin", " media=print", " type=image/png"])),
            lambda: "<style%s>%s</style>" % (self.any(["", " media=print"]), self.css([])),
            lambda: self.any(COMMENTS), lambda: "<!-- %s -->" % self.body(),
            lambda: "<base href=%s>" % self.any(["x/", "/%s/y/" % self.name])
            if self.random.random() < 0.2 else "",
            lambda: "<script>%s</script>" % self.any(
                ["'<!--<script>'", "'</b><img src=x.png>'", "<!--\n//-->"])])()

    def page(self, sheets):
        links = "".join("<link rel=stylesheet href=%s>" % path for path in sheets)
        return "<!doctype html><html><head>%s%s%s</head><body%s>%s" % (
            self.any(["<meta charset=utf-8>", ""]), links, self.times(1, 10, self.head),
            self.any(["", " class=c1"]), self.times(5, 40, self.body))


def write(folder, seed):
    """Writes page number `seed` with its stylesheets below `folder`; returns its path."""
    name = "r%d" % seed
    writer = Writer(seed, name)
    os.makedirs(os.path.join(folder, name))
    sheets = ["s%d.css" % i for i in range(writer.random.randrange(3))]
    files = {"index.html": writer.page(sheets)}
    for sheet in sheets:
        files[sheet] = writer.css(["i" + sheet] * writer.random.randrange(2))
        files["i" + sheet] = writer.css([])
    for file, text in files.items():
        with open(os.path.join(folder, name, file), "w") as out:
            out.write(text)
    return "/%s/" % name
