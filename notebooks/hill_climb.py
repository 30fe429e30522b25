"""Hill climbing from random starts: move to the first neighbour that is better, start anew after 12 that are not."""


def hill_climb(benchmark, chance, *, patience=12):
    while True:
        here = benchmark.random(chance)
        accuracy = yield here
        worse = 0
        while worse < patience:
            at = chance.randrange(benchmark.positions)
            there = (*here[:at], chance.randrange(benchmark.values), *here[at + 1 :])
            if there == here:
                continue
            told = yield there
            here, accuracy, worse = (there, told, 0) if told > accuracy else (here, accuracy, worse + 1)
