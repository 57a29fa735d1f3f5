"""What both of the insurer's clients share: transport, errors, answers. No vendor word and no table belongs here."""
