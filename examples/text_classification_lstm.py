"""An LSTM that classifies text, saved every five epochs, at the end, and by hand.

Start it, kill it, start it again. The article saves weights every few epochs, finds the newest file with
``tf.train.latest_checkpoint``, and loads it into a new model, to evaluate it. Here the newest file is also where
a killed run goes on: ``period=5`` is a multiple of five epochs of the whole run, not of those since the restart.
The end is saved whether or not it is a multiple of five, and ``model.save`` saves by hand, as ever.

The text is on every machine: paragraphs of the language reference that comes with Python, by topic.
"""

import argparse
from pydoc_data.topics import topics

import keras
import numpy as np
from sklearn.model_selection import train_test_split

from callback_state import ModelCheckpointEnhanced, latest_checkpoint, restore_callbacks

WORDS, LENGTH = 2000, 40
TOPICS = ["compound", "debugger", "formatstrings", "string-methods", "types"]

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("--data", choices=["reference", "imdb", "reuters"], default="reference")
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--directory", default="text")
args = parser.parse_args()


def load(name):
    """Texts as LENGTH numbers of words each, and labels: for training, for testing."""
    if name != "reference":
        pairs = getattr(keras.datasets, name).load_data(num_words=WORDS)
        return [(keras.utils.pad_sequences(texts, LENGTH), labels) for texts, labels in pairs]
    paragraphs = [(text, label) for label, topic in enumerate(TOPICS) for text in topics[topic].split("\n\n")]
    texts, labels = zip(*(pair for pair in paragraphs if len(pair[0].split()) > 7), strict=True)
    numbers = keras.layers.TextVectorization(WORDS, output_sequence_length=LENGTH)
    numbers.adapt(texts)
    x, x_test, y, y_test = train_test_split(numbers(texts).numpy(), np.array(labels), random_state=1)
    return (x, y), (x_test, y_test)


keras.utils.set_random_seed(1)
(x, y), (x_test, y_test) = load(args.data)
model = keras.Sequential(
    [
        keras.layers.Input((LENGTH,)),
        keras.layers.Embedding(WORDS, 32),
        keras.layers.LSTM(32, dropout=0.2),
        keras.layers.Dense(len(set(y)), activation="softmax"),
    ]
)
model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])

filepath = f"{args.directory}/{{epoch:04d}}.weights.h5"
checkpoint = ModelCheckpointEnhanced(filepath, save_weights_only=True, period=5)
restored = restore_callbacks(args.directory, into=[checkpoint], model=model, missing_ok=True)
print(restored, flush=True)
model.fit(x, y, epochs=args.epochs, initial_epoch=restored.initial_epoch, callbacks=[checkpoint], verbose=2)
model.save("text_classifier.keras")  # by hand: for whoever uses the model, and does not train it

newest = latest_checkpoint(args.directory)
again = keras.models.clone_model(model)  # with new weights
again.load_weights(newest)
by_hand = keras.models.load_model("text_classifier.keras")
for name, classifier in ("trained", model), (newest, again), ("text_classifier.keras", by_hand):
    right = np.mean(classifier.predict(x_test, verbose=0).argmax(axis=1) == y_test)
    print(f"{name}: {right:.2%} of the test are right")
