"""Charts as inline SVG: no library, no script, colours by the classes of the page's style.

Those with text beside their marks come in two widths, for wide and for narrow screens.
"""

WIDE = 760
NARROW = 350
