"""Pictures: the numbers behind them, and how they look."""
