"""What stands in a page of HTML: its elements, what it would load, its text."""

from html.parser import HTMLParser


class PageReader(HTMLParser):
    """Elements and attributes of a page, text of its headings and cells."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded, self.handlers, self.words = [], [], [], []
        self.inside = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.inside = tag
        for name, value in attributes:
            if name in ("src", "href", "srcset", "action", "data", "poster"):
                self.loaded.append(value)
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data):
        if self.inside not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())
