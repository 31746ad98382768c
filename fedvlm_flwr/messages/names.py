"""The names of the records that a message may hold."""

REQUEST = "request"  # what a client is asked, scalars
ARRAYS = "arrays"  # the shared tensors: before training on the way down, after it on the way up
EXTRA = "extra"  # what the algorithm sends beside them, either way
DEPOSITS = "deposits"  # what a client keeps from one message to the next, where it lacks it
METRICS = "metrics"  # numbers of a local training
SCORES = "scores"  # numbers of an evaluation
COUNTS = "counts"  # examples behind a site's scores, by task
SQUARES = "squares"  # mean of the squares of those scores that are means over examples
FAILURE = "failure"  # why there is no reply
SITE = "site"  # who a node is
