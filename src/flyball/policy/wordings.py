"""Lists of what people say when they ask for a kind of effect, to be named under `asked`.

`asked: [verbs(send)]` is one of the words of that list, `asked: {all: [[verbs(pay)], [nouns(money)]]}` one of each.
Words end in `*` where any ending fits; a phrase is looked for word by word. Some words are both (`order`, `mail`): lint
tells where two lists that stand together share one, since it would count as both.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

_NAME = re.compile(r"\s*(verbs|nouns)\s*\(\s*([a-z_]*)\s*\)\s*")


def _words(listed: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(shlex.split(listed)))


#: What people call the deed.
VERBS: Mapping[str, tuple[str, ...]] = {
    "send": _words("""
        send sends sending sent resend* mail mailing mailed email emailing emailed e-mail e-mailing write writing
        "drop a line" "drop them a line" reply replies replying replied respond* answer answering answers forward
        forwarding forwarded share sharing shared tell telling inform informing notify notifying ask asking thank
        thanking remind reminding contact contacting invite inviting "get back" "reach out" "get         in touch"
        "follow up" message messaging text texting "pass on" "pass it on" "pass this" announce announcing post
        posting publish publishing dm ping congratulate apologize apologise greet welcome cc let "make sure" wish
    """),
    "reply": _words("""
        reply replies replying replied respond* answer answering "get back" "write back" "follow up" acknowledge
        confirm* rsvp
    """),
    "post": _words("""
        post posts posting posted comment commenting publish* announce announcing tweet* reply replies replying
        respond* answer answering review reviewing rate rating "leave a" "make a comment" upload uploading share
        sharing write writing add adding send sending say saying tell telling message
    """),
    "create_event": _words("""
        schedule schedules scheduling scheduled reschedul* create creating add adding plan planning book booking
        arrange arranging organize organizing organise organising invite inviting "set up" setup "setting up" put
        putting block blocking reserve reserving remind reminding make "pencil in" noting save "sign me up"
        register* enter entering "find a time" "find time" "find a slot" hold host hosting
    """),
    "change": _words("""
        change changes changing changed update updates updating updated edit edits editing edited modify modifying
        modified correct correcting fix fixing fixed set setting rename renaming move moving moved reschedul*
        shift shifting postpon* extend extending adjust adjusting replace replacing switch switching swap swapping
        increase increasing decrease decreasing raise raising lower lowering reset resetting turn enable enabling
        disable disabling convert converting upgrad* downgrad* revise revising add adding mark marking assign
        assigning push pushing bring "make it" amend* alter* make cut "top up"
    """),
    "delete": _words("""
        delete deletes deleting deleted remove removes removing removed cancel cancels cancelling canceling
        cancelled canceled clear clearing clean cleaning discard discarding drop dropping erase erasing wipe
        wiping trash trashing purge purging "get rid" "take off" "take out" "throw out" "throw away" "call off"
        "clean up" "clear out" empty emptying unsubscrib* undo undoing revoke revoking withdraw withdrawing
        archive archiving
    """),
    "cancel": _words("""
        cancel cancels cancelling canceling cancelled canceled "call off" abort* annul* stop stopping end ending
        terminate terminating unsubscrib* undo undoing revoke revoking withdraw withdrawing drop dropping delete
        deleting remove removing refund refunding return returning decline declining "opt out" quit*
    """),
    "pay": _words("""
        pay pays paying paid repay repaying prepay settle settling settled transfer transfers transferring
        transferred send sending sent wire wiring remit remitting reimburse reimbursing refund refunding donate
        donating contribut* owe owes "split the" splitting "top up" "topping up" recharg* reload* deposit
        depositing lend lending give giving "pay back" "pay off" tip tipping charge chipping "chip in" clear
        clearing
    """),
    "buy": _words("""
        buy buys buying bought rebuy* re-buy* purchase purchases purchasing purchased repurchas* order orders
        ordering ordered reorder* re-order* get "get me" checkout "check out" shop shopping "place an" "place the"
        "place my" "i need" "i want" "i would like" "i'd like" subscrib* renew renewing renewal pick replace
        replacing restock* grab
    """),
    "book": _words("""
        book books booking booked reserve reserves reserving reserved rebook* "get me" "get us" "find me" "find
        us" arrange arranging schedule scheduling hold secure securing "make a" "sign up" register registering
        renting hire hiring plan planning check-in order ordering buy buying purchase purchasing "set up" organize
        organise change changing
    """),
    "refund": _words("""
        refund refunds refunding refunded return returns returning returned "send back" "send it back" "money
        back" reimburse reimbursing cancel cancelling canceling "take back" "give back" exchange exchanging claim
        claiming compensat* undo reverse reversing
    """),
    "save": _words("""
        save saves saving saved store storing keep keeping download downloads downloading downloaded write writing
        create creating make making put putting copy copying export exporting add adding record recording archive
        archiving noting draft drafting "take notes" summarize summarizing summarise summarising listing finish
        finishing complete completing fill filling log logging collect collecting gather gathering compile
        compiling prepare preparing back "back up" backup generate generating move moving
    """),
    "move": _words("""
        move moves moving moved rename renaming renamed organize organizing organise organising sort sorting put
        putting archive archiving transfer transferring relocat* copy copying save saving store storing place
        placing tidy tidying clean cleaning filing drag grouping
    """),
    "share": _words("""
        share shares sharing shared give giving grant granting invite inviting add adding let letting "give
        access" allow allowing send sending forward forwarding publish publishing collaborat* assign assigning
        include including delegate delegating show showing open opening
    """),
    "invite": _words("""
        invite invites inviting invited add adding include including onboard* enroll* enrol bring join joining
        welcome register registering ask asking assign assigning put
    """),
    "browse": _words("""
        visit visits visiting browse browsing open opening go going look looking check checking read reading see
        search searching find finding get getting fetch fetching download downloading access accessing view
        viewing follow following click clicking consult* explore exploring use using navigate navigating "pull up"
        show compare comparing review reviewing research*
    """),
    "fill": _words("""
        fill filling submit submitting enter entering complete completing finish finishing register registering
        "sign up" "sign in" "log in" login apply applying reserve reserving book booking order ordering pay paying
        comment commenting post posting reply replying vote voting answer answering solve solving do join joining
        rsvp subscrib* update updating confirm confirming cancel cancelling request requesting "top up" make
        making write writing leave reporting take upload uploading
    """),
    "download": _words("""
        download downloads downloading downloaded save saving fetch fetching get getting "pull down" grab grabbing
        retrieve retrieving obtain obtaining export exporting store storing copy copying keep keeping collect
        collecting find finding
    """),
    "login": _words("""
        login "log in" "log into" "logging in" "logged in" "sign in" "sign into" "signing in" authenticat* access
        accessing use using check checking buy buying order ordering pay paying book booking verify verifying
        change changing update updating
    """),
    "run": _words("""
        run runs running execute executing start starting launch launching build building test testing deploy
        deploying compile compiling trigger triggering restart restarting install installing apply applying fix
        fixing check checking try rerun* debug debugging reproduc*
    """),
    "install": _words("""
        install installs installing installed add adding upgrade upgrading update updating use using switch
        switching migrate migrating bump bumping pinning "set up" setup depends
    """),
    "merge": _words("""
        merge merges merging merged approve approving accept accepting land landing ship shipping release
        releasing close closing rebase rebasing squash squashing integrat*
    """),
    "report": _words("""
        reporting reported filing open opening create creating raise raising submit submitting log logging track
        tracking noting add adding make write writing propose proposing request requesting suggest suggesting
        "report a"
    """),
    "approve": _words("""
        approve approves approving approved accept accepting confirm confirming agree agreeing sign signing grant
        granting authorize authorizing authorise authorising allow allowing "sign off" endorse endorsing reject
        rejecting decline declining
    """),
}  # fmt: skip

#: What they call the thing.
NOUNS: Mapping[str, tuple[str, ...]] = {
    "mail": _words("""
        mail email e-mail message mails emails e-mails inbox letter letters newsletter* recipient* sender* thread
        threads attachment* note notes messages reply-to correspondence summary summaries minutes copies details
        information info results document* file files report reminder*
    """),
    "event": _words("""
        event events meeting meetings appointment* calendar* call calls lunch* dinner* breakfast* brunch* coffee
        party parties conference* session* interview* reminder* slot slots invitation* birthday* trip* holiday*
        vacation* workshop* webinar* webinars agenda deadline* date dates sync standup catch-up meetup* concert*
    """),
    "money": _words("""
        money bill bills invoice* rent fee fees payment* amount* balance account* iban salary salaries tax taxes
        debt* loan* tuition dues fine fines deposits insurance price* cost costs expense* bonus* allowance* funds
        subscription* membership* $* €* £* usd eur gbp chf dollar* euro euros pound pounds cash reservation*
        registration* due total receipt*
    """),
    "file": _words("""
        file files folder* director* document documents documentation doc docs pdf* spreadsheet* sheet sheets
        attachment* image images photo photos picture pictures slide slides presentation* notes report reports
        data drive disk path paths archives invoice* cv resume* contract contracts letter letters list lists
    """),
    "order": _words("""
        order orders purchase purchases item items product* cart basket delivery deliveries parcel* package*
        shipment* invoice* coupon* discount* voucher* thing things one ones pair pairs size
    """),
    "booking": _words("""
        booking bookings reservation* room rooms hotel* flight* ticket* table tables seat seats restaurant* train
        trains car cars trip* night nights stay apartment* appointment* tour* museum* accommodation* court courts
        slot slots dinner* lunch* taxi* vacation* holiday*
    """),
    "account": _words("""
        account* password* passcode* passphrase* credential* profile* username* address* phone pin settings
        preferences security details email-address number* data plans subscription* membership* login logins
    """),
    "people": _words("""
        team teams group groups channel* colleague* everyone everybody member members user users people person
        client* customer* friend* family guest* participant* attendee* manager* boss staff him her them workspace*
        organization* organisation* contact contacts
    """),
    "web": _words("""
        web* site sites page pages link links url urls online internet blog* article* forum* thread threads http*
        www* portal* address addresses
    """),
    "code": _words("""
        code repository repositories repo repos branch branches issue issues "pull request" "pull requests" pr prs
        bug bugs feature* function* tests commit commits readme module* class classes package* dependenc* library
        libraries version versions script scripts workflow* pipeline* ci release releases build builds job jobs
    """),
    "post": _words("""
        post posts comment* review reviews feedback rating ratings thread* forum* reply replies answer answers
        blog* tweet* story stories article* page channel*
    """),
}  # fmt: skip

#: Everything that may be named.
NAMES = (*(f"verbs({name})" for name in VERBS), *(f"nouns({name})" for name in NOUNS))


def listed(phrase: str) -> tuple[str, tuple[str, ...] | None] | None:
    """The list that an entry of `asked` names, and its words; None where it names none.

    The words are None where there is no such list.
    """
    match = _NAME.fullmatch(phrase)
    if match is None:
        return None
    kind, name = match.groups()
    return f"{kind}({name})", (VERBS if kind == "verbs" else NOUNS).get(name)
