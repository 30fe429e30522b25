"""What the GPU path is worth on the card at hand, found out and written down by one command.

    python -m natsdb.training.prove OUT [--minutes 25] [--data DIR]

`plan.py` the tasks in order · `running.py` a worker process that does them, time limits, what was found on disk ·
`equality.py`, `speed.py`, `agreement.py`, `searching.py` the four steps · `machine.py`, `pictures.py` on what ·
`report.py` as Markdown. Needs torch, torchvision, NumPy and PyArrow, and of natsdb no more than training does.
"""
