# Was Briefe auf Deutsch sagen.
# Alle Dateien dieses Ordners haben dieselben Nachrichten in derselben Reihenfolge, mit denselben Variablen.

photos = { $photos ->
    [one] 1 Foto
   *[other] { $photos } Fotos
}
date = { $weekday ->
    [Monday] Montag
    [Tuesday] Dienstag
    [Wednesday] Mittwoch
    [Thursday] Donnerstag
    [Friday] Freitag
    [Saturday] Samstag
   *[Sunday] Sonntag
}, { $day }. { $month ->
    [January] Januar
    [February] Februar
    [March] März
    [April] April
    [May] Mai
    [June] Juni
    [July] Juli
    [August] August
    [September] September
    [October] Oktober
    [November] November
   *[December] Dezember
} { $year }, { $time } Uhr (UTC)

# Anstelle eines Titels, von dem nichts gezeigt werden kann
unnamed = Ihre Feier

## Die Fotos sind da

ready-subject = Ihre Fotos sind da: { $event }
ready-subject-one-of-several = Ihre Fotos sind da ({ $number } von { $count }): { $event }
ready-preview = { photos } ({ $size }), zum Herunterladen bis { $date }.
ready-heading = Ihre Fotos sind da
ready-summary = { $archives ->
    [one] { photos } in einem Archiv, fertig gepackt für Sie.
   *[other] { photos } in { $archives } Archiven, zusammen { $size }, fertig gepackt für Sie.
}
ready-one-of-several = Es sind mehr Archive, als in eine E-Mail passen: Dies ist E-Mail { $number } von { $count }.
ready-download = { $name } herunterladen (ZIP, { $size })
ready-expiry = Sie können sie bis { $date } herunterladen.
ready-missing = { $count ->
    [one] Ein Foto fehlt
   *[other] { $count } Fotos fehlen
}
ready-missing-why = { $count ->
    [one] Alle anderen sind dabei. Dieses konnte nicht aufgenommen werden:
   *[other] Alle anderen sind dabei. Diese konnten nicht aufgenommen werden:
}
ready-missing-more = { $count ->
    [one] und ein weiteres. MISSING.txt, ganz am Ende des letzten Archivs, nennt alle.
   *[other] und { $count } weitere. MISSING.txt, ganz am Ende des letzten Archivs, nennt alle.
}
ready-hints = Gut zu wissen
ready-hint-zip = { $archives ->
    [one] Das Archiv ist eine ZIP-Datei. Auf dem Handy öffnen Sie es durch Antippen, am Computer per Doppelklick. Laden Sie es am besten im WLAN herunter.
   *[other] Die Archive sind ZIP-Dateien. Auf dem Handy öffnen Sie sie durch Antippen, am Computer per Doppelklick. Laden Sie sie am besten im WLAN herunter.
}
ready-hint-order = Jedes Archiv lässt sich für sich öffnen. Die Reihenfolge ist egal; Sie können eines nach dem anderen herunterladen.
ready-hint-share = { $archives ->
    [one] Wer den Link hat, kann die Fotos herunterladen. Geben Sie ihn nur an Menschen weiter, die sie sehen dürfen.
   *[other] Wer die Links hat, kann die Fotos herunterladen. Geben Sie sie nur an Menschen weiter, die sie sehen dürfen.
}

## Etwas ist schiefgegangen

sorry-subject = Ihre Fotos sind noch nicht fertig: { $event }
sorry-preview = Ihre Fotos sind sicher, aber wir konnten sie nicht für Sie packen.
sorry-heading = Ihre Fotos sind noch nicht fertig
sorry-missing = Es tut uns leid: Einige der Fotos waren nicht zu finden, und das Archiv sollte entweder vollständig oder gar nicht erstellt werden.
sorry-list = Es tut uns leid: In der Liste der Fotos, die wir bekommen haben, ist ein Fehler. Deshalb konnten wir sie nicht für Sie packen.
sorry-ours = Es tut uns leid: Beim Packen Ihrer Fotos ist etwas schiefgegangen, und auch weitere Versuche haben nicht geholfen.
sorry-safe = Ihre Fotos sind sicher: Wir kopieren sie nur, an den Originalen wurde nichts verändert oder gelöscht.
sorry-next = Wie es weitergeht
sorry-told = Wer diesen Dienst betreut, weiß schon Bescheid. Sie müssen jetzt nichts tun; wenn Sie Fragen haben, wenden Sie sich bitte dorthin, wo Sie die Fotos angefordert haben.
sorry-ask = Sie können die Fotos dort, wo Sie sie angefordert haben, noch einmal anfordern. Wenn das nicht hilft, sagen Sie dort bitte Bescheid.

why-you = Sie erhalten diese E-Mail, weil diese Fotos für Ihre Adresse angefordert wurden. Wenn Sie das nicht waren, können Sie sie löschen: Sonst geschieht nichts.
no-more = Keine solchen E-Mails mehr erhalten

## Warum ein Foto fehlt

reason-not-found = Es ist nicht mehr dort, wo es gespeichert war.
reason-forbidden = Es ist nicht öffentlich, oder sein Link ist abgelaufen.
reason-access-denied = Wir dürfen es dort, wo es gespeichert ist, nicht lesen.
reason-empty-folder = In diesem Ordner ist nichts.
reason-payment-required = Das Konto, unter dem es gespeichert ist, wurde gesperrt.
reason-refused = Der Ort, an dem es gespeichert ist, gibt es nicht heraus.
reason-place-not-allowed = Sein Link führt an einen Ort, von dem wir nichts holen.
reason-circle = Sein Link führt im Kreis.
reason-too-long = Es ist zu groß für ein Archiv ({ $size }).
reason-unreachable = Wir haben es mehrmals versucht, konnten es aber nicht herunterladen.
reason-unreadable = Es ist in einer Form gespeichert, die wir nicht öffnen können.
reason-not-a-photo = Sein Link führt zu einer Webseite statt zu einem Foto.
reason-wrong-size = Es ist länger oder kürzer, als es sein sollte, und vielleicht beschädigt.
reason-wrong-file = Es ist nicht die Datei, die es sein sollte, und vielleicht beschädigt.
reason-other = Wir konnten es nicht aufnehmen.
