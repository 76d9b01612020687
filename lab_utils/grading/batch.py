"""Grade a whole folder of submissions: in parallel, resumable, and no submission stops another's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.grading.intake import HandedIn, find_submissions, take_in
from lab_utils.grading.names import Author, folder_names
from lab_utils.grading.plan import CoursePlan
from lab_utils.grading.results import Cause, LabResult, SubmissionFiles, SubmissionResult
from lab_utils.grading.roster import Member, Roster, Times, read_times
from lab_utils.grading.scoring import StudentGrade, grade, not_handed_in
from lab_utils.grading.state import BatchFolder, course_digest, digest_of
from lab_utils.grading.workers import Runner, Task, Workers
from lab_utils.progress.registry import Status

Watcher = Callable[[int, int, str], None]
"""Told after each notebook: how many are done, how many there are, and what was done."""


@dataclass(frozen=True)
class Student:
    """A student in a batch.

    Attributes:
        name: As in the table of grades.
        folder: The name of their folder in the results.
        author: Whose name and number the submission carries.
        member: Their row in the list of students; None without one.
        doubtful: The rows that fit, when there are several: nobody guesses between them.
        files: What they handed in; None for somebody on the list who handed in nothing.
        submitted: When each lab was handed in, as far as it is known.
    """

    name: str
    folder: str
    author: Author
    member: Member | None = None
    doubtful: tuple[Member, ...] = ()
    files: SubmissionFiles | None = None
    submitted: dict[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """A finished batch.

    Attributes:
        plan: The course's plan.
        students: All students, sorted by name, with their grades.
        ran: How many notebooks ran now.
        kept: How many results of an earlier start still held.
        listed: There was a list of students.
        unused_times: Names in the table of times that are no student's of this batch.
    """

    plan: CoursePlan
    students: tuple[tuple[Student, StudentGrade], ...]
    ran: int
    kept: int
    listed: bool = False
    unused_times: tuple[str, ...] = ()

    @property
    def grades(self) -> list[StudentGrade]:
        """The grades alone."""
        return [one for _, one in self.students]


def run_batch(
    submissions: Path,
    out: BatchFolder,
    plan: CoursePlan,
    runner: Runner,
    *,
    jobs: int = 1,
    confined: bool = True,
    roster: Roster | None = None,
    watch: Watcher = lambda done, total, text: None,
    prepare: Callable[[], None] = lambda: None,
) -> Batch:
    """Grade every submission. The caller holds `out.opened()`.

    Args:
        submissions: Folder of submissions, or one submission.
        out: The folder of the results.
        plan: What counts how much.
        runner: Runs one notebook.
        jobs: How many notebooks run at the same time.
        confined: Whether the runner confines them; a result of the other kind does not count.
        roster: The students of the course; who handed in nothing gets a row, too.
        watch: Told after each notebook.
        prepare: Called once before the first notebook runs; not at all when none has to.

    Returns:
        The grades of all students.

    Raises:
        LabError: The submissions, the times or the plan make no sense; before anything runs.
        KeyboardInterrupt: The batch was stopped. What was done is kept.
    """
    times = _times(plan)
    students = _students(find_submissions(submissions), out, plan, roster, times)
    out.show_only({student.folder for student in students})
    settings = {
        "course": course_digest(),
        "hidden": dict(plan.hidden),
        "limits": asdict(plan.limits),
        "confined": confined,
    }
    results: dict[tuple[str, str], LabResult] = {}
    tasks = []
    for student in students:
        for lab in plan.labs:
            notebook = student.files.notebooks.get(lab.lab) if student.files else None
            if notebook is None:
                continue
            key = digest_of(notebook, settings)
            kept = out.kept(student.folder, lab.lab, key)
            if kept is None:
                tasks.append(Task(student.name, student.folder, lab.lab, notebook, key))
            else:
                results[student.folder, lab.lab] = kept
    done, total = len(results), len(results) + len(tasks)
    handed_in = sum(student.files is not None for student in students)
    class_ = f"{handed_in} {'student has' if handed_in == 1 else 'students have'} handed in"
    if tasks:
        watch(done, total, f"{class_}; preparing what all runs share (minutes, the first time)")
        prepare()
        watch(done, total, "prepared; the notebooks run")
    else:
        watch(done, total, f"{class_}; no notebook has to run")
    workers = Workers(out, plan, runner, confined)
    again = []
    with closing(workers.run(tasks, jobs)) as finished:  # closed at once when `watch` stops the batch
        for task, result in finished:
            if result.cause is Cause.INTERNAL:
                again.append(task)  # a fault of the machine: once more, when all others are done
                continue
            results[task.folder, task.lab] = result
            done += 1
            watch(done, total, _line(task, result))
    with closing(workers.run(again, 1)) as finished:
        for task, result in finished:
            results[task.folder, task.lab] = result
            done += 1
            watch(done, total, _line(task, result))
    graded = tuple(
        (student, grade(_submission(student, plan, results), plan, student.submitted)) for student in students
    )
    return Batch(
        plan,
        graded,
        ran=len(tasks),
        kept=total - len(tasks),
        listed=roster is not None,
        unused_times=tuple(times.unused) if times else (),
    )


def _times(plan: CoursePlan) -> Times | None:
    """The times of submission; refuses deadlines that nothing could be compared with."""
    if plan.times is not None:
        return read_times(plan.times, plan.zone)
    if plan.has_deadlines:
        raise LabError(
            "The plan has deadlines, but nothing says when the submissions came.",
            why="A file's own date is that of its download, and a student's zip can hold any date.",
            fix="Write a table with the columns student,submitted, and name it in the plan: "
            'times = "times.csv"',
        )
    return None


def _students(
    handed_in: Sequence[HandedIn],
    out: BatchFolder,
    plan: CoursePlan,
    roster: Roster | None,
    times: Times | None,
) -> list[Student]:
    """Everybody who handed in, and everybody on the list who did not."""
    fitting = {id(one): roster.fitting(one.author) if roster else () for one in handed_in}
    there = [one.author.student for one in handed_in]
    # One of several who fit has handed in: none of them gets a row of zeros.
    known = [member for members in fitting.values() for member in members]
    absent = [one for one in roster.members if one not in known] if roster else []
    names = there + [one.name for one in absent if one.name not in there]
    folders = folder_names(names)
    students = []
    for one in handed_in:
        folder, found = folders[one.author.student], fitting[id(one)]
        member = found[0] if len(found) == 1 else None
        students.append(
            Student(
                one.author.student,
                folder,
                one.author,
                member,
                () if member else found,
                take_in(one, out.intake(folder)),
                times.of(one.author, member) if times else {},
            )
        )
    students += [
        Student(one.name, folders[one.name], Author(one.name), one) for one in absent if one.name not in there
    ]
    return sorted(students, key=lambda one: (one.name.casefold(), one.name))


def _submission(
    student: Student, plan: CoursePlan, results: dict[tuple[str, str], LabResult]
) -> SubmissionResult:
    """All labs of one student, those without a notebook included."""
    files = student.files or SubmissionFiles(student.name, problems=("nothing was handed in",))
    problems = list(files.problems)
    why = "" if files.notebooks else "; ".join(problems)
    if files.notebooks and not {lab.lab for lab in plan.labs} & set(files.notebooks):
        problems.append(f"only lab {', '.join(files.notebooks)} was handed in, which is not graded here")
    if files.notebooks and plan.has_deadlines and not student.submitted:
        known = "Canvas marked it as late, but when" if student.author.late else "when it"
        problems.append(f"{known} was handed in is not known: it counts as in time")
    labs = []
    for lab in plan.labs:
        found = results.get((student.folder, lab.lab))
        labs.append(found or replace(not_handed_in(plan, lab.lab, why), cause=files.cause))
    return SubmissionResult(student.name, tuple(labs), "; ".join(problems))


def _line(task: Task, result: LabResult) -> str:
    stopped = f", {result.cause}" if result.cause else ""
    passed = sum(one.status is Status.PASS for one in result.exercises)
    return f"{task.student}, lab {task.lab}: {passed} of {len(result.exercises)} checks passed{stopped}"
