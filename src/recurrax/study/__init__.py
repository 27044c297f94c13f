"""How a question is asked: cells and tasks named by a text, measured over seeds, and what their numbers say."""
