# What letters say in English.
# Every file of this folder has the same messages in the same order, each with the same variables.

photos = { $photos ->
    [one] 1 photo
   *[other] { $photos } photos
}
date = { $weekday }, { $day } { $month } { $year }, { $time } UTC

# Instead of a title with nothing in it that can be shown
unnamed = Your celebration

## Your photos are ready

ready-subject = Your photos are ready: { $event }
ready-subject-one-of-several = Your photos are ready ({ $number } of { $count }): { $event }
ready-preview = { photos } ({ $size }), yours to download until { $date }.
ready-heading = Your photos are ready
ready-summary = { $archives ->
    [one] { photos } in one archive, packed and waiting for you.
   *[other] { photos } in { $archives } archives, { $size } in all, packed and waiting for you.
}
ready-one-of-several = There are more archives than fit into one e-mail: this is e-mail { $number } of { $count }.
ready-download = Download { $name } (ZIP, { $size })
ready-expiry = You can download them until { $date }.
ready-missing = { $count ->
    [one] One photo is missing
   *[other] { $count } photos are missing
}
ready-missing-why = { $count ->
    [one] All others are there. This one couldn't be included:
   *[other] All others are there. These couldn't be included:
}
ready-missing-more = { $count ->
    [one] and one more. MISSING.txt, at the end of the last archive, names them all.
   *[other] and { $count } more. MISSING.txt, at the end of the last archive, names them all.
}
ready-hints = Good to know
ready-hint-zip = { $archives ->
    [one] The archive is a ZIP file. Phones open it with a tap, computers with a double click. Wi-Fi is best for downloading.
   *[other] The archives are ZIP files. Phones open them with a tap, computers with a double click. Wi-Fi is best for downloading.
}
ready-hint-order = Each archive opens by itself. You can download them in any order, and one after the other.
ready-hint-share = { $archives ->
    [one] Anybody who has the link can download the photos. Share it only with people who may see them.
   *[other] Anybody who has the links can download the photos. Share them only with people who may see them.
}

## Something went wrong

sorry-subject = Your photos are not ready yet: { $event }
sorry-preview = Your photos are safe, but we could not pack them for you.
sorry-heading = Your photos are not ready yet
sorry-missing = We are sorry: some of the photos could not be found, and the archive was to be complete or not to be made at all.
sorry-list = We are sorry: there is a mistake in the list of photos that we were given, so we could not pack them for you.
sorry-ours = We are sorry: something went wrong while we were packing your photos, and trying again did not help.
sorry-safe = Your photos are safe: we only copy them, and nothing about the originals was changed or deleted.
sorry-next = What happens next
sorry-told = The people who look after this service have been told. There is nothing that you need to do now; if you have questions, please ask where you requested the photos.
sorry-ask = You can request the photos again, in the place where you did before. If that does not help, please tell the people there.

why-you = You receive this e-mail because these photos were requested for your address. If it was not you who did, you can delete it: nothing else happens.
no-more = Receive no more of these e-mails

## Why a photo is missing

reason-not-found = It is no longer where it was stored.
reason-forbidden = It is private, or its link has expired.
reason-access-denied = We are not allowed to read it where it is stored.
reason-empty-folder = There is nothing in this folder.
reason-payment-required = The account where it is stored has been suspended.
reason-refused = The place where it is stored would not hand it out.
reason-place-not-allowed = Its link leads to a place that we do not fetch from.
reason-circle = Its link leads in a circle.
reason-too-long = It is too large for an archive ({ $size }).
reason-unreachable = We tried several times, but couldn't download it.
reason-unreadable = It is stored in a form that we can't open.
reason-not-a-photo = Its link leads to a web page instead of a photo.
reason-wrong-size = It is longer or shorter than it should be, and may be damaged.
reason-wrong-file = It is not the file that it should be, and may be damaged.
reason-other = We couldn't include it.
