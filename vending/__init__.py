"""Stima: takes money for prepaid electricity and answers with tokens that meters accept.

Read ``vend.py`` first: it is the story. The packages are the nouns of its sentences.
"""

__version__ = "0.1.0"
