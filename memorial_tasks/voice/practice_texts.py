"""Sentences for practice speech, written for this project: every English phone and Mandarin syllable shape often."""

ENGLISH = """
The old boat drifted gently past the harbour while the children waved from the shore.
Did you remember to bring the yellow umbrella, or shall we both get soaked again?
My father measured each piece of wood twice, and then he cut it once.
We used to listen to music by the fire on cold December evenings.
Thank you for your kindness, your patience, and for every letter you sent.
She laughed, shook her head, and poured another cup of strong black tea.
The garden looked beautiful this morning, with roses, violets and a huge oak.
I hope that you will be happy, healthy and brave in the years to come.
Which of these photographs should we choose for the front of the album?
Nothing pleased him more than a quiet walk through the woods with the dog.
Please do not worry about me; I am proud of everything you have become.
Grandmother joined the village choir when she was only fifteen.
The train leaves at eight, so we ought to finish breakfast before seven.
Our neighbours shared their vegetables, their tools and all their troubles.
There is a small treasure hidden under the third step of the stairs.
A cheerful voice on the radio announced that the weather would change.
He could fix a clock, a chair or a broken toy with the same calm hands.
Would you like to visit the beach where we first learned how to swim?
The judge gave a usual answer, but the young lawyer enjoyed the challenge.
Every Sunday the whole family gathered around the kitchen table.
Look after each other, tell the truth, and keep the house full of noise.
His vision was poor, yet he noticed the pleasure on their faces at once.
We bought fresh bread, cheap cheese, ripe pears and a jar of thick honey.
Long ago, a wise teacher taught me how to think before I speak.
The choir sang a song of joy while snow was falling on the church roof.
You were such a good boy, always asking why the moon follows the car.
She keeps my watch, my glasses and five old coins in that wooden box.
It was a rather rough voyage, and nobody could eat the ship's food.
How much farther is it to the bridge beyond the northern valley?
I love you both very much, and I will always be near you.
The doctor shut the door, took off his gloves and began to whistle.
Both of those brothers breathe slowly and bathe in the river together.
Put the book on the shelf and pull the curtain, would you?
Azure pottery and beige rugs decorated the entrance of the garage.
Don't be sad for too long; go outside, plant a tree, and laugh again.
The azaleas are finally open, just as I thought they would be.
""".strip().splitlines()

MANDARIN: list[str] = []
