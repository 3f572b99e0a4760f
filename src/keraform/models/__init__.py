"""The virtual package of ports: `keraform.models.bert` is translated from `transformers` when it is
imported.
"""

from keraform.translate.importer import install

install()
